"""The lab: a page on this machine to degrade, restore and generate pictures in a browser.

It needs nothing but the standard library, and the page loads nothing from elsewhere.
"""

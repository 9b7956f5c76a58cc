"""Model folders: trained weights with their configuration and model card.

Names are imported when they are first used, so that a model is found before torch is loaded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

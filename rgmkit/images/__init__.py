"""Pictures in and out: `read`, `write`, and `make_sheet` for sheets of samples.

Names are imported when they are first used, so that the file formats are known before torch is loaded.
"""

import lazy_loader

from rgmkit.deprecation import renamed_attributes

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed_attributes(__name__, {"grid": "make_sheet"}, otherwise=_find)

"""sqlite-utils, imported without pandas.

sqlite-utils imports pandas where it is installed, as it is with Gradio, only to know the column
type of a Timestamp, which nothing here stores. That would cost every command a second and a half.
"""

import sys

# None says that there is no such module (The Python Language Reference, section 5.3.1).
_hidden = sys.modules.setdefault("pandas", None) is None  # pyright: ignore[reportArgumentType]
try:
    from sqlite_utils import Database, Migrations
finally:
    if _hidden:
        del sys.modules["pandas"]

__all__ = ["Database", "Migrations"]

"""Keep pyarrow from importing pandas where nobody asked for it.

When pyarrow makes its first array of Python or NumPy values it looks whether they come from pandas, and imports pandas
(a third of a second, 60 MB) to find out. Importing this module lets it look while pandas seems not to be installed;
it takes that for an answer. Whatever needs pandas later (`to_pandas`, say) gets it as ever.
"""

import sys

import pyarrow as pa


class _NoPandas:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)


if "pandas" not in sys.modules:
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([1])
    finally:
        sys.meta_path.remove(_NoPandas)

"""What the steps are made of: one file per concept. docs/design.md has the order of imports."""

import gc

# Importing makes objects by the ten thousand that stay: to look through them again and again costs a tenth of a start.
gc.set_threshold(50_000, 20, 20)

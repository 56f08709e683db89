"""What the steps are made of: one file per concept. docs/design.md has the order of imports."""

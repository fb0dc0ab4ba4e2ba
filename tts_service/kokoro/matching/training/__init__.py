"""How the data files of the embedded engine were made; not part of the wheel."""

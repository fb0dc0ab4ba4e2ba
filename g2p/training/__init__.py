"""How the data files were made; not part of the installed package."""

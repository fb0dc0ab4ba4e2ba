"""How the data files of the embedded voices were made; not part of an installation."""

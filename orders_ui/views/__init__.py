"""One module per part of the page; each view makes one call into the house where it can."""

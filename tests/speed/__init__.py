"""How fast the whole product is, beside what is possible at all: `make bench`. Nothing of it is part of `make test`."""

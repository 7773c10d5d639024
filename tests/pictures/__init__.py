"""The pictures of docs/: taken of the product as it runs, so that they stay true."""

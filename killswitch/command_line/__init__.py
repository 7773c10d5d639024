"""The shell's way to the button: `manage.py kill`, with or without the database, and the import of its journals."""

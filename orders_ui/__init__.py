"""The pages. No rule of the business lives here."""

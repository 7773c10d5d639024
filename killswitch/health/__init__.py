"""Is every part of the way from button to broker alive?"""

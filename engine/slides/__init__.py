"""Figures as slides: pictures of exact pixels, documents with real text, decks. Offline, without a browser."""

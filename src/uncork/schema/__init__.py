"""The words uncork speaks: frozen dataclasses, no torch."""

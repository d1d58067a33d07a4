"""Shows a Report: in the terminal, and as one HTML file that loads nothing."""

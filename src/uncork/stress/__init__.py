"""Ways of changing inputs on purpose, one per file: attacks within a declared threat."""

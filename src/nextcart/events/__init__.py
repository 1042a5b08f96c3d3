"""Raw shopping events, and the store that keeps them."""

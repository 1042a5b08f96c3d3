"""``python -m nextcart``."""

from nextcart.cli import main

main()

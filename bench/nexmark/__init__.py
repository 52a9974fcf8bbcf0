"""Nexmark: an auction site's events, and queries over them; https://github.com/nexmark/nexmark."""

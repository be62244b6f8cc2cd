"""Dumps of MediaWiki: pages, their markup, their templates."""

"""The published weights: fetched, checked key by key, and converted."""

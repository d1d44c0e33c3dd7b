"""Nods, blinks and smiles: found, counted, shown and compared."""

"""How somebody listens: nods, blinks and smiles in a clip, their statistics, and the card that shows them."""

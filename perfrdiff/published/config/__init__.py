"""The authors' YAML files: every key as a typed model, and the paper's values for every stage."""

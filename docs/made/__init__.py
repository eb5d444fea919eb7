"""Pages of the site that are made from the code: commands, registries, columns and public names."""

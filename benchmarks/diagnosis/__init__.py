"""The suite of faulty and healthy training scripts; RECIPE.md says how it grows."""

"""Complete configurations as functions (`recipe`), and running them."""

from cmlflow.recipes.recipe import READOUTS_TO_TUNE, RECIPES, Recipe, recipe

__all__ = ["READOUTS_TO_TUNE", "RECIPES", "Recipe", "recipe"]

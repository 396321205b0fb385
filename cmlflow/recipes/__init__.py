"""Complete configurations as functions (`recipe`), and running them."""

from cmlflow.recipes.recipe import RECIPES, Recipe, recipe

__all__ = ["RECIPES", "Recipe", "recipe"]

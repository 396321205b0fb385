"""Complete configurations as functions (`recipe`), and running them."""

from cmlflow.recipes.cells import CELL_RECIPES, CellRecipe
from cmlflow.recipes.recipe import RECIPES, Recipe, recipe

__all__ = ["CELL_RECIPES", "RECIPES", "CellRecipe", "Recipe", "recipe"]

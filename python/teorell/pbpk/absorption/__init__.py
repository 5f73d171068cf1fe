"""How a drug enters through the gut: rates from permeability, one lumen or a chain of segments."""

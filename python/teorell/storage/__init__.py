"""Populations on disk: chunk by chunk into Zarr or Parquet, resumed after a kill."""

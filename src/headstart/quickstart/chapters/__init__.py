"""The sections of the report, one file each: `chapter` makes what stands in it."""

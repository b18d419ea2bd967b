"""Where images lie: folders, zips, LMDBs and arrays, opened, checked and decoded."""

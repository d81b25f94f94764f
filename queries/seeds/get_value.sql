-- The remote-object server of the textbook: get_value(key). The key is bound, never pasted:
--   swath -P key=2 -f queries/seeds/get_value.sql
SELECT value FROM 'queries/seeds/pairs.csv' WHERE id = $key;

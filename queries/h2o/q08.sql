-- The two largest of each group.
SELECT id6, v3
FROM (
    SELECT id6, v3, row_number() OVER (PARTITION BY id6 ORDER BY v3 DESC) AS place
    FROM 'testdata/h2o/*.csv' AS t
) AS ranked
WHERE place <= 2;

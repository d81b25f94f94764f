-- Sum and count by six keys: nearly as many groups as rows.
SELECT id1, id2, id3, id4, id5, id6, sum(v3) AS v3, count(*) AS count
FROM 'testdata/h2o/*.csv' AS t
GROUP BY id1, id2, id3, id4, id5, id6;

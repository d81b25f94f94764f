-- Small-quantity orders of one kind of part.
SELECT sum(l_extendedprice) / 7.0 AS avg_yearly
FROM 'testdata/tpch/lineitem.csv' AS lineitem, 'testdata/tpch/part.csv' AS part
WHERE p_partkey = l_partkey
    AND p_brand = 'Brand#23'
    AND p_container = 'MED BOX'
    AND l_quantity < (SELECT 0.2 * avg(l_quantity) FROM 'testdata/tpch/lineitem.csv' AS l WHERE l.l_partkey = p_partkey);

-- Important stock: parts that make up a share of a nation's stock.
SELECT ps_partkey, sum(ps_supplycost * ps_availqty) AS value
FROM
    'testdata/tpch/partsupp.csv' AS partsupp,
    'testdata/tpch/supplier.csv' AS supplier,
    'testdata/tpch/nation.csv' AS nation
WHERE ps_suppkey = s_suppkey AND s_nationkey = n_nationkey AND n_name = 'GERMANY'
GROUP BY ps_partkey
HAVING sum(ps_supplycost * ps_availqty) > (
    SELECT sum(ps_supplycost * ps_availqty) * 0.0001
    FROM
        'testdata/tpch/partsupp.csv' AS partsupp,
        'testdata/tpch/supplier.csv' AS supplier,
        'testdata/tpch/nation.csv' AS nation
    WHERE ps_suppkey = s_suppkey AND s_nationkey = n_nationkey AND n_name = 'GERMANY'
)
ORDER BY value DESC, ps_partkey;

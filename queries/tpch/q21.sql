-- Suppliers who kept orders waiting.
SELECT s_name, count(*) AS numwait
FROM
    'testdata/tpch/supplier.csv' AS supplier,
    'testdata/tpch/lineitem.csv' AS l1,
    'testdata/tpch/orders.csv' AS orders,
    'testdata/tpch/nation.csv' AS nation
WHERE s_suppkey = l1.l_suppkey
    AND o_orderkey = l1.l_orderkey
    AND o_orderstatus = 'F'
    AND l1.l_receiptdate > l1.l_commitdate
    AND EXISTS (
        SELECT * FROM 'testdata/tpch/lineitem.csv' AS l2
        WHERE l2.l_orderkey = l1.l_orderkey AND l2.l_suppkey <> l1.l_suppkey
    )
    AND NOT EXISTS (
        SELECT * FROM 'testdata/tpch/lineitem.csv' AS l3
        WHERE l3.l_orderkey = l1.l_orderkey
            AND l3.l_suppkey <> l1.l_suppkey
            AND l3.l_receiptdate > l3.l_commitdate
    )
    AND s_nationkey = n_nationkey
    AND n_name = 'SAUDI ARABIA'
GROUP BY s_name
ORDER BY numwait DESC, s_name
LIMIT 100;

-- Large volume customers.
SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) AS quantity
FROM
    'testdata/tpch/customer.csv' AS customer,
    'testdata/tpch/orders.csv' AS orders,
    'testdata/tpch/lineitem.csv' AS lineitem
WHERE o_orderkey IN (
        SELECT l_orderkey FROM 'testdata/tpch/lineitem.csv' AS lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300
    )
    AND c_custkey = o_custkey
    AND o_orderkey = l_orderkey
GROUP BY c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
ORDER BY o_totalprice DESC, o_orderdate
LIMIT 100;

-- Product type profit by nation and year.
SELECT nation, o_year, sum(amount) AS sum_profit
FROM (
    SELECT
        n_name AS nation,
        extract(YEAR FROM o_orderdate) AS o_year,
        l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity AS amount
    FROM
        'testdata/tpch/part.csv' AS part,
        'testdata/tpch/supplier.csv' AS supplier,
        'testdata/tpch/lineitem.csv' AS lineitem,
        'testdata/tpch/partsupp.csv' AS partsupp,
        'testdata/tpch/orders.csv' AS orders,
        'testdata/tpch/nation.csv' AS nation
    WHERE s_suppkey = l_suppkey
        AND ps_suppkey = l_suppkey
        AND ps_partkey = l_partkey
        AND p_partkey = l_partkey
        AND o_orderkey = l_orderkey
        AND s_nationkey = n_nationkey
        AND p_name LIKE '%green%'
) AS profit
GROUP BY nation, o_year
ORDER BY nation, o_year DESC;

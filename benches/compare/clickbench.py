"""A table in the shape of ClickBench's `hits` and its 43 questions.

105 columns; how many values each has, how skewed and how often it is empty follows what is published of
the real table, scaled to the number of rows. Rows lie in the order of the counter and then at random,
in twenty files. Orders are total here, so that every engine has one right answer.
"""

import os

from question import Question

FILES = 20

# The questions, by the numbers that ClickBench gives them.
SQL = [
    "SELECT count(*) FROM {hits}",
    "SELECT count(*) FROM {hits} WHERE AdvEngineID <> 0",
    "SELECT sum(AdvEngineID), count(*), avg(ResolutionWidth) FROM {hits}",
    "SELECT avg(UserID) FROM {hits}",
    "SELECT count(DISTINCT UserID) FROM {hits}",
    "SELECT count(DISTINCT SearchPhrase) FROM {hits}",
    "SELECT min(EventDate), max(EventDate) FROM {hits}",
    "SELECT AdvEngineID, count(*) AS c FROM {hits} WHERE AdvEngineID <> 0 GROUP BY AdvEngineID"
    " ORDER BY c DESC, AdvEngineID",
    "SELECT RegionID, count(DISTINCT UserID) AS u FROM {hits} GROUP BY RegionID ORDER BY u DESC, RegionID LIMIT 10",
    "SELECT RegionID, sum(AdvEngineID), count(*) AS c, avg(ResolutionWidth), count(DISTINCT UserID) FROM {hits}"
    " GROUP BY RegionID ORDER BY c DESC, RegionID LIMIT 10",
    "SELECT MobilePhoneModel, count(DISTINCT UserID) AS u FROM {hits} WHERE MobilePhoneModel <> ''"
    " GROUP BY MobilePhoneModel ORDER BY u DESC, MobilePhoneModel LIMIT 10",
    "SELECT MobilePhone, MobilePhoneModel, count(DISTINCT UserID) AS u FROM {hits} WHERE MobilePhoneModel <> ''"
    " GROUP BY MobilePhone, MobilePhoneModel ORDER BY u DESC, MobilePhone, MobilePhoneModel LIMIT 10",
    "SELECT SearchPhrase, count(*) AS c FROM {hits} WHERE SearchPhrase <> ''"
    " GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10",
    "SELECT SearchPhrase, count(DISTINCT UserID) AS u FROM {hits} WHERE SearchPhrase <> ''"
    " GROUP BY SearchPhrase ORDER BY u DESC, SearchPhrase LIMIT 10",
    "SELECT SearchEngineID, SearchPhrase, count(*) AS c FROM {hits} WHERE SearchPhrase <> ''"
    " GROUP BY SearchEngineID, SearchPhrase ORDER BY c DESC, SearchEngineID, SearchPhrase LIMIT 10",
    "SELECT UserID, count(*) AS c FROM {hits} GROUP BY UserID ORDER BY c DESC, UserID LIMIT 10",
    "SELECT UserID, SearchPhrase, count(*) AS c FROM {hits} GROUP BY UserID, SearchPhrase"
    " ORDER BY c DESC, UserID, SearchPhrase LIMIT 10",
    "SELECT count(*) FROM (SELECT UserID, SearchPhrase, count(*) AS c FROM {hits}"
    " GROUP BY UserID, SearchPhrase LIMIT 10) AS ten",
    "SELECT UserID, extract(minute FROM EventTime) AS m, SearchPhrase, count(*) AS c FROM {hits}"
    " GROUP BY UserID, m, SearchPhrase ORDER BY c DESC, UserID, m, SearchPhrase LIMIT 10",
    "SELECT UserID FROM {hits} WHERE UserID = 435090932899640449",
    "SELECT count(*) FROM {hits} WHERE URL LIKE '%google%'",
    "SELECT SearchPhrase, min(URL), count(*) AS c FROM {hits} WHERE URL LIKE '%google%' AND SearchPhrase <> ''"
    " GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10",
    "SELECT SearchPhrase, min(URL), min(Title), count(*) AS c, count(DISTINCT UserID) FROM {hits}"
    " WHERE Title LIKE '%Google%' AND URL NOT LIKE '%.google.%' AND SearchPhrase <> ''"
    " GROUP BY SearchPhrase ORDER BY c DESC, SearchPhrase LIMIT 10",
    "SELECT * FROM {hits} WHERE URL LIKE '%google%' ORDER BY EventTime LIMIT 10",
    "SELECT SearchPhrase FROM {hits} WHERE SearchPhrase <> '' ORDER BY EventTime LIMIT 10",
    "SELECT SearchPhrase FROM {hits} WHERE SearchPhrase <> '' ORDER BY SearchPhrase LIMIT 10",
    "SELECT SearchPhrase FROM {hits} WHERE SearchPhrase <> '' ORDER BY EventTime, SearchPhrase LIMIT 10",
    "SELECT CounterID, avg(length(URL)) AS l, count(*) AS c FROM {hits} WHERE URL <> ''"
    " GROUP BY CounterID HAVING count(*) > {few} ORDER BY l DESC, CounterID LIMIT 25",
    "SELECT regexp_replace(Referer, '^https?://(?:www\\.)?([^/]+)/.*$', '\\1') AS k, avg(length(Referer)) AS l,"
    " count(*) AS c, min(Referer) FROM {hits} WHERE Referer <> ''"
    " GROUP BY k HAVING count(*) > {few} ORDER BY l DESC, k LIMIT 25",
    "SELECT " + ", ".join(f"sum(ResolutionWidth + {add})" for add in range(90)) + " FROM {hits}",
    "SELECT SearchEngineID, ClientIP, count(*) AS c, sum(IsRefresh), avg(ResolutionWidth) FROM {hits}"
    " WHERE SearchPhrase <> '' GROUP BY SearchEngineID, ClientIP ORDER BY c DESC, SearchEngineID, ClientIP LIMIT 10",
    "SELECT WatchID, ClientIP, count(*) AS c, sum(IsRefresh), avg(ResolutionWidth) FROM {hits}"
    " WHERE SearchPhrase <> '' GROUP BY WatchID, ClientIP ORDER BY c DESC, WatchID, ClientIP LIMIT 10",
    "SELECT WatchID, ClientIP, count(*) AS c, sum(IsRefresh), avg(ResolutionWidth) FROM {hits}"
    " GROUP BY WatchID, ClientIP ORDER BY c DESC, WatchID, ClientIP LIMIT 10",
    "SELECT URL, count(*) AS c FROM {hits} GROUP BY URL ORDER BY c DESC, URL LIMIT 10",
    "SELECT 1 AS one, URL, count(*) AS c FROM {hits} GROUP BY one, URL ORDER BY c DESC, URL LIMIT 10",
    "SELECT ClientIP, ClientIP - 1 AS a, ClientIP - 2 AS b, ClientIP - 3 AS d, count(*) AS c FROM {hits}"
    " GROUP BY ClientIP, a, b, d ORDER BY c DESC, ClientIP LIMIT 10",
    "SELECT URL, count(*) AS v FROM {hits} WHERE CounterID = 62 AND EventDate >= DATE '2013-07-01'"
    " AND EventDate <= DATE '2013-07-31' AND DontCountHits = 0 AND IsRefresh = 0 AND URL <> ''"
    " GROUP BY URL ORDER BY v DESC, URL LIMIT 10",
    "SELECT Title, count(*) AS v FROM {hits} WHERE CounterID = 62 AND EventDate >= DATE '2013-07-01'"
    " AND EventDate <= DATE '2013-07-31' AND DontCountHits = 0 AND IsRefresh = 0 AND Title <> ''"
    " GROUP BY Title ORDER BY v DESC, Title LIMIT 10",
    "SELECT URL, count(*) AS v FROM {hits} WHERE CounterID = 62 AND EventDate >= DATE '2013-07-01'"
    " AND EventDate <= DATE '2013-07-31' AND IsRefresh = 0 AND IsLink <> 0 AND IsDownload = 0"
    " GROUP BY URL ORDER BY v DESC, URL LIMIT 10 OFFSET 1000",
    "SELECT TraficSourceID, SearchEngineID, AdvEngineID,"
    " CASE WHEN SearchEngineID = 0 AND AdvEngineID = 0 THEN Referer ELSE '' END AS src, URL AS dst,"
    " count(*) AS v FROM {hits} WHERE CounterID = 62 AND EventDate >= DATE '2013-07-01'"
    " AND EventDate <= DATE '2013-07-31' AND IsRefresh = 0"
    " GROUP BY TraficSourceID, SearchEngineID, AdvEngineID, src, dst"
    " ORDER BY v DESC, TraficSourceID, SearchEngineID, AdvEngineID, src, dst LIMIT 10 OFFSET 1000",
    "SELECT URLHash, EventDate, count(*) AS v FROM {hits} WHERE CounterID = 62"
    " AND EventDate >= DATE '2013-07-01' AND EventDate <= DATE '2013-07-31' AND IsRefresh = 0"
    " AND TraficSourceID IN (-1, 6) AND RefererHash = 3594120000172545465"
    " GROUP BY URLHash, EventDate ORDER BY v DESC, URLHash, EventDate LIMIT 10 OFFSET 100",
    "SELECT WindowClientWidth, WindowClientHeight, count(*) AS v FROM {hits} WHERE CounterID = 62"
    " AND EventDate >= DATE '2013-07-01' AND EventDate <= DATE '2013-07-31' AND IsRefresh = 0"
    " AND DontCountHits = 0 AND URLHash = 2868770270353813622"
    " GROUP BY WindowClientWidth, WindowClientHeight"
    " ORDER BY v DESC, WindowClientWidth, WindowClientHeight LIMIT 10 OFFSET 10000",
    "SELECT date_trunc('minute', EventTime) AS m, count(*) AS v FROM {hits} WHERE CounterID = 62"
    " AND EventDate >= DATE '2013-07-14' AND EventDate <= DATE '2013-07-15' AND IsRefresh = 0"
    " AND DontCountHits = 0 GROUP BY m ORDER BY m LIMIT 10 OFFSET 1000",
]


def questions():
    """The 43 questions; where ClickBench wants groups of 100,000 rows, these want 1,000."""

    def asked(number, sql):
        sql = sql.replace("{few}", "1000")
        clickhouse = (
            sql.replace("length(", "lengthUTF8(")
            .replace("regexp_replace(", "replaceRegexpOne(")
            .replace("date_trunc('minute', EventTime)", "toStartOfMinute(EventTime)")
        )
        return Question(f"q{number:02}", sql, {"chdb": clickhouse})

    return [asked(number, sql) for number, sql in enumerate(SQL)]


def columns(rows):
    """Each column of row `i` as an expression of DuckDB; all are functions of `i`."""
    scale = rows / 1e8

    def draw(seed):
        """A number in [0, 1) that belongs to the row."""
        return f"(hash(i * 1000 + {seed}) >> 11)::DOUBLE / 9007199254740992"

    def pick(seed, count, skew=1):
        return f"floor(pow({draw(seed)}, {skew}) * {max(int(count), 1)})"

    def mostly(seed, share, else_, empty="0"):
        return f"CASE WHEN {draw(seed)} < {share} THEN {empty} ELSE {else_} END"

    def number(rank, salt):
        """A large number for a rank, the same for the same rank."""
        return f"(hash(({rank})::BIGINT * 1000003 + {salt}) >> 1)::BIGINT"

    user = pick(1, 17_600_000 * scale, 2.2)
    phrase = pick(2, 6_000_000 * scale, 2.0)
    url = pick(3, 18_300_000 * scale, 2.2)
    referer = pick(4, 19_700_000 * scale, 2.2)
    title = pick(5, 9_400_000 * scale, 2.2)
    hosts = ["yandex.example", "mail.example", "shop.example", "news.example", "video.example", "kino.example"]

    def words(rank, salt, about):
        return (
            f"CASE WHEN hash(({rank})::BIGINT + {salt}) % 1000 < 3 THEN '{about} ' ELSE '' END ||"
            f" printf('%s %s %d', ['buy','watch','cheap','best','how to','where is','download','photos of'][1 +"
            f" (hash(({rank})::BIGINT * 7 + {salt}) % 8)::INT], ['cars','films','flats','recipes','games','weather',"
            f"'tickets','songs'][1 + (hash(({rank})::BIGINT * 13 + {salt}) % 8)::INT], ({rank})::BIGINT)"
        )

    def address(rank, salt):
        host = f"{hosts}[1 + (hash(({rank})::BIGINT * 3 + {salt}) % {len(hosts)})::INT]"
        return (
            f"'http://' || CASE WHEN hash(({rank})::BIGINT + {salt}) % 5 = 0 THEN 'www.' ELSE '' END || {host} ||"
            f" CASE WHEN hash(({rank})::BIGINT * 31 + {salt}) % 6000 = 0 THEN '/google' ELSE '' END ||"
            f" printf('/section%d/page%d?id=%d&from=list', (hash(({rank})::BIGINT * 5 + {salt}) % 40)::INT,"
            f" (hash(({rank})::BIGINT * 11 + {salt}) % 900)::INT, ({rank})::BIGINT)"
        )

    counter = (
        f"CASE WHEN i >= {int(rows * 0.3)} AND i < {int(rows * 0.3074)} THEN 62"
        f" ELSE 10 + floor(pow(i / {rows}.0, 3) * 6506) * 7 END"
    )
    named = {
        "WatchID": ("BIGINT", number("i", 11)),
        "JavaEnable": ("SMALLINT", mostly(6, 0.2, "1")),
        "Title": ("VARCHAR", mostly(7, 0.15, words(title, 21, "Google"), "''")),
        "GoodEvent": ("SMALLINT", "1"),
        "EventTime": (
            "TIMESTAMP",
            f"TIMESTAMP '2013-07-01' + to_microseconds(({draw(8)} * 31 * 86400 * 1000000)::BIGINT)",
        ),
        "EventDate": ("DATE", f"(TIMESTAMP '2013-07-01' + to_microseconds(({draw(8)} * 31 * 86400 * 1000000)::BIGINT))"),
        "CounterID": ("INTEGER", counter),
        "ClientIP": ("INTEGER", f"((hash(({pick(9, 9_900_000 * scale, 2.2)})::BIGINT) >> 32)::BIGINT - 2147483648 + 4)"),
        "RegionID": ("INTEGER", pick(10, 9040, 5)),
        "UserID": ("BIGINT", f"CASE WHEN i = {rows // 3} THEN 435090932899640449 ELSE {number(user, 17)} END"),
        "CounterClass": ("SMALLINT", pick(11, 3)),
        "OS": ("SMALLINT", pick(12, 90, 3)),
        "UserAgent": ("SMALLINT", pick(13, 60, 3)),
        "URL": ("VARCHAR", address(url, 31)),
        "Referer": ("VARCHAR", mostly(14, 0.19, address(referer, 41), "''")),
        "IsRefresh": ("SMALLINT", mostly(15, 0.88, "1")),
        "RefererCategoryID": ("SMALLINT", pick(16, 20, 4)),
        "RefererRegionID": ("INTEGER", pick(17, 8000, 5)),
        "URLCategoryID": ("SMALLINT", pick(18, 20, 4)),
        "URLRegionID": ("INTEGER", pick(19, 5000, 5)),
        "ResolutionWidth": ("SMALLINT", "[0, 1024, 1280, 1366, 1440, 1600, 1638, 1680, 1750, 1828, 1920, 1996]"
                            f"[1 + ({pick(20, 12)})::INT]"),
        "ResolutionHeight": ("SMALLINT", "[0, 600, 768, 800, 900, 1050, 1080, 1200][1 + (" + pick(21, 8) + ")::INT]"),
        "ResolutionDepth": ("SMALLINT", "[0, 16, 23, 24, 32][1 + (" + pick(22, 5) + ")::INT]"),
        "FlashMajor": ("SMALLINT", pick(23, 12)),
        "FlashMinor": ("SMALLINT", pick(24, 4)),
        "FlashMinor2": ("VARCHAR", f"['', '700', '70', '112', '0'][1 + ({pick(25, 5, 2)})::INT]"),
        "NetMajor": ("SMALLINT", pick(26, 5, 3)),
        "NetMinor": ("SMALLINT", pick(27, 6, 3)),
        "UserAgentMajor": ("SMALLINT", pick(28, 60, 2)),
        "UserAgentMinor": ("VARCHAR", f"['D', '57', '0', 'O', ''][1 + ({pick(29, 5)})::INT]"),
        "CookieEnable": ("SMALLINT", mostly(30, 0.02, "1")),
        "JavascriptEnable": ("SMALLINT", mostly(31, 0.02, "1")),
        "IsMobile": ("SMALLINT", mostly(32, 0.94, "1")),
        "MobilePhone": ("SMALLINT", mostly(33, 0.944, pick(34, 60, 2))),
        "MobilePhoneModel": ("VARCHAR", mostly(33, 0.944, f"'model ' || ({pick(34, 166, 2)})::INT", "''")),
        "Params": ("VARCHAR", mostly(35, 0.98, f"'p=' || ({pick(36, 20000 * scale)})::INT", "''")),
        "IPNetworkID": ("INTEGER", pick(37, 4_000_000 * scale, 2)),
        "TraficSourceID": ("SMALLINT", f"({pick(38, 11, 1.6)}) - 1"),
        "SearchEngineID": ("SMALLINT", mostly(39, 0.83, f"1 + {pick(40, 95, 4)}")),
        "SearchPhrase": ("VARCHAR", mostly(39, 0.87, words(phrase, 51, "google"), "''")),
        "AdvEngineID": ("SMALLINT", mostly(41, 0.9937, f"1 + {pick(42, 18, 2)}")),
        "IsArtifical": ("SMALLINT", mostly(43, 0.9, "1")),
        "WindowClientWidth": ("SMALLINT", pick(44, 1900)),
        "WindowClientHeight": ("SMALLINT", pick(45, 1100)),
        "ClientTimeZone": ("SMALLINT", f"({pick(46, 27)}) * 60 - 720"),
        "ClientEventTime": ("TIMESTAMP", f"TIMESTAMP '2013-07-01' + to_seconds(({draw(47)} * 31 * 86400)::BIGINT)"),
        "SilverlightVersion1": ("SMALLINT", pick(48, 6, 3)),
        "SilverlightVersion2": ("SMALLINT", pick(49, 2, 3)),
        "SilverlightVersion3": ("INTEGER", pick(50, 60000, 6)),
        "SilverlightVersion4": ("SMALLINT", pick(51, 2, 3)),
        "PageCharset": ("VARCHAR", f"['utf-8', 'windows-1251', '', 'utf-8;charset=utf-8'][1 + ({pick(52, 4, 3)})::INT]"),
        "CodeVersion": ("INTEGER", f"({pick(53, 300, 3)}) * 7"),
        "IsLink": ("SMALLINT", mostly(54, 0.9, "1")),
        "IsDownload": ("SMALLINT", mostly(55, 0.995, "1")),
        "IsNotBounce": ("SMALLINT", mostly(56, 0.4, "1")),
        "FUniqID": ("BIGINT", mostly(57, 0.3, number(user, 61))),
        "OriginalURL": ("VARCHAR", mostly(58, 0.8, address(url, 71), "''")),
        "HID": ("INTEGER", "(hash(i * 3 + 5) >> 34)::INTEGER"),
        "IsOldCounter": ("SMALLINT", "0"),
        "IsEvent": ("SMALLINT", mostly(59, 0.98, "1")),
        "IsParameter": ("SMALLINT", mostly(60, 0.99, "1")),
        "DontCountHits": ("SMALLINT", mostly(61, 0.85, "1")),
        "WithHash": ("SMALLINT", mostly(62, 0.9, "1")),
        "HitColor": ("VARCHAR", f"['5', 'E', 'U', 'D'][1 + ({pick(63, 4, 3)})::INT]"),
        "LocalEventTime": ("TIMESTAMP", f"TIMESTAMP '2013-07-01' + to_seconds(({draw(64)} * 31 * 86400)::BIGINT)"),
        "Age": ("SMALLINT", f"[0, 22, 31, 39, 50, 55][1 + ({pick(65, 6)})::INT]"),
        "Sex": ("SMALLINT", pick(66, 3)),
        "Income": ("SMALLINT", pick(67, 4)),
        "Interests": ("SMALLINT", pick(68, 15000, 3)),
        "Robotness": ("SMALLINT", pick(69, 5, 6)),
        "RemoteIP": ("INTEGER", f"((hash(({pick(70, 9_000_000 * scale, 2.2)})::BIGINT * 5) >> 32)::BIGINT - 2147483648)"),
        "WindowName": ("INTEGER", f"({pick(71, 500_000 * scale, 5)}) - 1"),
        "OpenerName": ("INTEGER", f"({pick(72, 200_000 * scale, 5)}) - 1"),
        "HistoryLength": ("SMALLINT", f"({pick(73, 60, 2)}) - 1"),
        "BrowserLanguage": ("VARCHAR", f"['ru', 'S0', 'en', 'uk'][1 + ({pick(74, 4, 3)})::INT]"),
        "BrowserCountry": ("VARCHAR", f"['RU', 'S0', 'UA', 'BY', 'KZ'][1 + ({pick(75, 5, 3)})::INT]"),
        "SocialNetwork": ("VARCHAR", "''"),
        "SocialAction": ("VARCHAR", "''"),
        "HTTPError": ("SMALLINT", "0"),
        "SendTiming": ("INTEGER", f"({pick(76, 30000, 6)})"),
        "DNSTiming": ("INTEGER", f"({pick(77, 30000, 8)})"),
        "ConnectTiming": ("INTEGER", f"({pick(78, 30000, 8)})"),
        "ResponseStartTiming": ("INTEGER", f"({pick(79, 30000, 6)})"),
        "ResponseEndTiming": ("INTEGER", f"({pick(80, 30000, 6)})"),
        "FetchTiming": ("INTEGER", f"({pick(81, 30000, 6)})"),
        "SocialSourceNetworkID": ("SMALLINT", mostly(82, 0.99, pick(83, 7))),
        "SocialSourcePage": ("VARCHAR", "''"),
        "ParamPrice": ("BIGINT", mostly(84, 0.999, pick(85, 9000))),
        "ParamOrderID": ("VARCHAR", "''"),
        "ParamCurrency": ("VARCHAR", f"['', 'USD'][1 + ({pick(86, 2, 8)})::INT]"),
        "ParamCurrencyID": ("SMALLINT", "0"),
        "OpenstatServiceName": ("VARCHAR", mostly(87, 0.99, f"'service ' || ({pick(88, 40)})::INT", "''")),
        "OpenstatCampaignID": ("VARCHAR", mostly(87, 0.99, f"'campaign ' || ({pick(89, 4000)})::INT", "''")),
        "OpenstatAdID": ("VARCHAR", mostly(87, 0.99, f"'ad ' || ({pick(90, 9000)})::INT", "''")),
        "OpenstatSourceID": ("VARCHAR", mostly(87, 0.99, f"'source ' || ({pick(91, 90)})::INT", "''")),
        "UTMSource": ("VARCHAR", mostly(92, 0.98, f"'source ' || ({pick(93, 90)})::INT", "''")),
        "UTMMedium": ("VARCHAR", mostly(92, 0.98, f"'medium ' || ({pick(94, 20)})::INT", "''")),
        "UTMCampaign": ("VARCHAR", mostly(92, 0.98, f"'campaign ' || ({pick(95, 900)})::INT", "''")),
        "UTMContent": ("VARCHAR", mostly(92, 0.98, f"'content ' || ({pick(96, 900)})::INT", "''")),
        "UTMTerm": ("VARCHAR", mostly(92, 0.98, f"'term ' || ({pick(97, 900)})::INT", "''")),
        "FromTag": ("VARCHAR", mostly(98, 0.99, f"'tag ' || ({pick(99, 90)})::INT", "''")),
        "HasGCLID": ("SMALLINT", mostly(100, 0.99, "1")),
        "RefererHash": ("BIGINT", f"CASE WHEN {draw(14)} < 0.01 THEN 3594120000172545465 ELSE {number(referer, 43)} END"),
        "URLHash": ("BIGINT", f"CASE WHEN {draw(101)} < 0.0005 THEN 2868770270353813622 ELSE {number(url, 33)} END"),
        "CLID": ("INTEGER", mostly(102, 0.99, pick(103, 90000))),
    }
    assert len(named) == 105, len(named)
    return named


def make(folder, rows, form):
    """`rows` rows in twenty files."""
    import duckdb

    chosen = ", ".join(f"({expression})::{kind} AS {name}" for name, (kind, expression) in columns(rows).items())
    options = "FORMAT parquet, COMPRESSION snappy" if form == "parquet" else "HEADER"
    connection = duckdb.connect()
    for part in range(FILES):
        target = os.path.join(folder, f"hits_{part:02}.{form}")
        first, last = rows * part // FILES, rows * (part + 1) // FILES
        connection.execute(f"COPY (SELECT {chosen} FROM range({first}, {last}) AS t(i)) TO '{target}' ({options})")
    return {"hits": folder}

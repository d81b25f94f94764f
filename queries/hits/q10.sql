-- Phones by their owners; an empty text is no phone.
SELECT phone_model, count(DISTINCT user_id) AS owners
FROM 'testdata/hits'
WHERE phone_model <> ''
GROUP BY phone_model
ORDER BY owners DESC, phone_model LIMIT 10;

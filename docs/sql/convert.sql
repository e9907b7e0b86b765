UPDATE t SET at = rtrim(rtrim(strftime('%Y-%m-%d %H:%M:%f', at), '0'), '.') WHERE at LIKE '%T%Z';

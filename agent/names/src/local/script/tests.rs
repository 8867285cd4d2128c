use proptest::prelude::*;

use super::*;

fn runs(exe: &str, line: &str) -> Option<String> {
    of(exe, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn what_interpreters_run() {
    for (exe, line, script) in [
        ("python3.11", "python3 app.py --port 80", "app.py"),
        ("python3.11", "/usr/bin/python3 -u -W ignore /srv/shop/app.py", "app.py"),
        ("python3.11", "python3 -m shop.worker --queue a", "shop.worker"),
        ("python3.11", "python3 -um shop.worker", "shop.worker"),
        ("python3.11", "/opt/venv/bin/python /opt/venv/bin/gunicorn -w 4 -b 0.0.0.0:80 shop.wsgi:app", "shop.wsgi"),
        ("python3.11", "/opt/venv/bin/python /opt/venv/bin/gunicorn --version", "gunicorn"),
        ("python3", "python3 -m uvicorn main:app --host 127.0.0.1:80", "main"),
        ("python3", "python3 /usr/local/bin/uvicorn shop.api:make() --factory", "shop.api"),
        ("pypy3", "pypy3 app.py", "app.py"),
        ("java", "java -Xmx1g -jar /srv/checkout.jar --spring.profiles.active=prod", "checkout.jar"),
        ("java", "java -cp a.jar:b.jar -Dx=y org.apache.kafka.Kafka server.properties", "org.apache.kafka.Kafka"),
        (
            "java",
            "java @jvm.options --add-opens java.base/java.lang=ALL-UNNAMED org.elasticsearch.Server",
            "org.elasticsearch.Server",
        ),
        ("java", "java -p mods -m shop/shop.Main", "shop/shop.Main"),
        ("node", "node --max-old-space-size=512 -r dotenv/config /srv/server.js", "server.js"),
        ("nodejs", "nodejs server.mjs", "server.mjs"),
        ("node", "node /usr/bin/npm start", "npm"),
        ("deno", "deno run -A --allow-net main.ts", "main.ts"),
        ("bun", "bun run index.ts", "index.ts"),
        ("bun", "bun index.ts", "index.ts"),
        ("ruby3.1", "ruby -I lib bin/server.rb", "server.rb"),
        ("ruby3.1", "puma 5.6.5 (tcp://0.0.0.0:9292) [shop]", ""),
        ("perl", "perl -Ilib -w ./worker.pl", "worker.pl"),
        ("php8.2", "php -d memory_limit=1G artisan queue:work", "artisan"),
        ("php8.2", "php -S 0.0.0.0:80 -t public router.php", "router.php"),
        ("bash", "/bin/bash -e /opt/sync.sh a b", "sync.sh"),
        ("dash", "sh -- ./sync.sh", "sync.sh"),
        ("lua5.4", "lua5.4 game.lua", "game.lua"),
        ("dotnet", "dotnet /app/Shop.dll", "Shop.dll"),
        ("beam.smp", "/usr/lib/erlang/erts/bin/beam.smp -W w -- -root /usr/lib/erlang -name rabbit@host -noshell", ""),
        ("beam.smp", "beam.smp -root /usr/lib/erlang -noshell -sname rabbit@host", "rabbit"),
        ("busybox", "/bin/busybox httpd -f -p 80", "httpd"),
        ("busybox", "sh /srv/run.sh", "run.sh"),
        ("busybox", "nc -l -p 80", "nc"),
    ] {
        if !script.is_empty() {
            assert_eq!(runs(exe, line).as_deref(), Some(script), "{exe}: {line}");
        }
    }
}

#[test]
fn a_title_that_the_process_wrote_over_its_arguments() {
    assert_eq!(of("ruby3.1", &["puma 5.6.5 (tcp://0.0.0.0:9292) [shop]"]).as_deref(), Some("shop"));
    assert_eq!(of("python3.11", &["gunicorn: master [shop.wsgi:app]"]).as_deref(), Some("shop.wsgi"));
    assert_eq!(of("python3.11", &["celeryd: worker"]).as_deref(), Some("celeryd"));
}

#[test]
fn what_has_no_name_is_none() {
    for (exe, line) in [
        ("python3.11", "python3"),
        ("python3.11", "python3 -c import(x)"),
        ("python3.11", "python3 -uc import(x)"),
        ("python3.11", "python3 -m"),
        ("node", "node -e 1"),
        ("node", "node ."),
        ("bash", "bash -c sleep"),
        ("bash", "-bash"),
        ("bash", "bash -lc sleep"),
        ("java", "java -version"),
        ("nginx", "nginx -g daemon"),
        ("pythonic", "pythonic app.py"),
        ("beam.smp", "beam.smp -root /usr/lib/erlang"),
    ] {
        assert_eq!(runs(exe, line), None, "{exe}: {line}");
    }
    assert_eq!(of("python3", &[]), None);
}

proptest! {
    #[test]
    fn hostile_arguments_are_bounded(
        exe in prop::sample::select(LANGUAGES.iter().flat_map(|language| language.names).copied().collect::<Vec<_>>()),
        arguments in prop::collection::vec("(-{0,2}[a-zA-Z]{1,3}|[ -~]{0,12}|\\PC{0,6})", 0..6),
    ) {
        let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
        let longest = arguments.iter().map(|one| one.len()).max().unwrap_or(0);
        prop_assert!(of(exe, &arguments).is_none_or(|script| !script.is_empty() && script.len() <= longest));
    }
}

//! What the worst texts cost.
use crate::{SqlLimits, analyse};

/// CPU time of all threads of this process in milliseconds.
fn cpu() -> f64 {
    let mut ns = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        ns += text
            .split(' ')
            .next()
            .and_then(|n| n.parse::<f64>().ok())
            .unwrap_or(0.0);
    }
    ns / 1e6
}

fn ms(work: impl FnOnce()) -> f64 {
    let start = cpu();
    work();
    cpu() - start
}

fn resident() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    text.lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
#[ignore = "a measurement, not a test"]
fn costs() {
    let limits = SqlLimits::default();
    let params: String = (1..=65535).map(|n| format!("${n},")).collect();
    let rows: String = (1..=65535).map(|n| format!("(${n}),")).collect();
    let texts = [
        (
            "in 1MiB".to_owned(),
            format!("select 1 where 1 in ({}1)", "1,".repeat(500_000)),
        ),
        (
            "in 100k tokens".to_owned(),
            format!("select 1 where 1 in ({}1)", "1,".repeat(50_000)),
        ),
        ("params".to_owned(), format!("insert into t values ({}1)", params)),
        ("rows".to_owned(), format!("insert into t values {}(1)", rows)),
        (
            "ands".to_owned(),
            format!("select 1 where a=1{}", " and a = 1".repeat(25_000)),
        ),
        (
            "select list".to_owned(),
            format!("select a{}", ",a".repeat(50_000)),
        ),
        ("funcs".to_owned(), format!("select f(){}", ",f()".repeat(25_000))),
        (
            "subselects".to_owned(),
            format!("select 1{}", ",(select 1)".repeat(20_000)),
        ),
        ("stmts".to_owned(), "begin;".repeat(1000)),
        ("plus 1000".to_owned(), format!("select 1{}", "+1".repeat(1000))),
        (
            "bomb paren".to_owned(),
            format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        ),
        (
            "bomb plus".to_owned(),
            format!("select 1{}", "+1".repeat(100_000)),
        ),
        (
            "bomb not".to_owned(),
            format!("select {} true", "not ".repeat(100_000)),
        ),
        (
            "syntax late".to_owned(),
            format!("select 1{} from from", ",a".repeat(15_000)),
        ),
        (
            "syntax late long".to_owned(),
            format!("select 1{} from from", ",a".repeat(40_000)),
        ),
        (
            "select list ok".to_owned(),
            format!("select a{}", ",a".repeat(6_900)),
        ),
        (
            "casts ok".to_owned(),
            format!("select a{}", ",'x'::a.b".repeat(2_300)),
        ),
        (
            "columns ok".to_owned(),
            format!("create table t (a int{})", ",a int".repeat(4_600)),
        ),
        (
            "ands ok".to_owned(),
            format!("select 1 where a=1{}", " and a=1".repeat(3_400)),
        ),
        (
            "funcs ok".to_owned(),
            format!("select f(){}", ",f()".repeat(3_400)),
        ),
        (
            "subselects ok".to_owned(),
            format!("select 1{}", ",(select 1)".repeat(2_700)),
        ),
        (
            "ctes ok".to_owned(),
            format!(
                "with {}z as (select 1) select from z{}",
                (0..900)
                    .map(|n| format!("c{n} as (select 1),"))
                    .collect::<String>(),
                ",t".repeat(3_000)
            ),
        ),
        (
            "unions ok".to_owned(),
            format!("select 1{}", " union select 1".repeat(999)),
        ),
        (
            "joins ok".to_owned(),
            format!("select 1 from a{}", " join b on a.x=b.x".repeat(999)),
        ),
        (
            "nested".to_owned(),
            format!("select {}1{}", "(select ".repeat(200), ")".repeat(200)),
        ),
        (
            "bomb select list".to_owned(),
            format!("select a{}", ",a".repeat(500_000)),
        ),
        ("bomb 1MiB (".to_owned(), "(".repeat(1_000_000)),
        (
            "bomb 1MiB [1,".to_owned(),
            format!("select {}", "[1,".repeat(330_000)),
        ),
        (
            "bomb late".to_owned(),
            format!("select '{}'{}", "x".repeat(500_000), ",a".repeat(250_000)),
        ),
        (
            "string 1MiB".to_owned(),
            format!("select '{}'", "x".repeat(1_000_000)),
        ),
        (
            "casts rows".to_owned(),
            format!(
                "insert into t values {}(1,2)",
                "($1::text, $2::int),".repeat(32_000)
            ),
        ),
        (
            "rows of functions".to_owned(),
            format!("insert into t values {}(1,2)", "($1,now()),".repeat(5_000)),
        ),
        (
            "syntax error near token".to_owned(),
            format!("select 1{} from from from", ",from_".repeat(9000)),
        ),
        (
            "unterminated".to_owned(),
            format!("select 1{} '", ",a".repeat(9000)),
        ),
        (
            "usual".to_owned(),
            "select o.id, c.name from orders o join customers c on c.id = o.customer where o.id = $1"
                .to_owned(),
        ),
    ];
    for (what, text) in &texts {
        let mut outcome = None;
        let all = ms(|| {
            outcome = Some(
                analyse(text, &limits)
                    .map(|_| ())
                    .map_err(|e| (e.code.as_str().to_owned(), e.position)),
            )
        });
        println!(
            "{what}: {} bytes {all:.2} ms {outcome:?} {}",
            text.len(),
            resident()
        );
    }
    let t = &texts.last().unwrap().1;
    let n = 20_000;
    let scan = ms(|| {
        for _ in 0..n {
            let _ = crate::lexer::tokens(t);
        }
    });
    let parse = ms(|| {
        for _ in 0..n {
            let _ = pg_query::parse(t, 0);
        }
    });
    let all = ms(|| {
        for _ in 0..n {
            let _ = analyse(t, &limits);
        }
    });
    println!(
        "us each: scan {:.2} parse {:.2} analyse {:.2}",
        scan / n as f64 * 1e3,
        parse / n as f64 * 1e3,
        all / n as f64 * 1e3
    );
    println!(
        "node {} nodeenum {}",
        std::mem::size_of::<pg_query::protobuf::Node>(),
        std::mem::size_of::<pg_query::NodeEnum>()
    );
}

/// `STACK` bytes must suffice; found by trying from outside, as an overflow ends the process.
#[test]
#[ignore = "a measurement, not a test"]
fn stack() {
    let n: usize = std::env::var("N").unwrap().parse().unwrap();
    let texts = [
        format!("select 1{}", "+1".repeat(n)),
        format!("select {}1{}", "(select ".repeat(n), ")".repeat(n)),
        format!("select {}1{}", "case when ".repeat(n), " then 1 end".repeat(n)),
        format!("select 1{}", " union select 1".repeat(n)),
        format!("select 1 from a{}", " cross join b".repeat(n)),
        format!("{}select 1{}", "with a as (".repeat(n), ") select 1".repeat(n)),
        format!(
            "select * from {}a{}",
            "(select * from ".repeat(n),
            ") x".repeat(n)
        ),
        format!(
            "{}select 1; {}",
            "create function f() returns int begin atomic ".repeat(n),
            "end;".repeat(n)
        ),
    ];
    let text = texts[std::env::var("K").unwrap().parse::<usize>().unwrap()].clone();
    let size = std::env::var("STACK").unwrap().parse().unwrap();
    let r = std::thread::Builder::new()
        .stack_size(size)
        .spawn(move || {
            crate::parse(&text, &SqlLimits::default())
                .map(|_| ())
                .map_err(|e| e.0.message)
        })
        .unwrap()
        .join()
        .unwrap();
    println!("{r:?}");
}

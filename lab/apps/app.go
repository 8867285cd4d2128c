// An HTTP application with database/sql's pool of connections to PostgreSQL: app.py with goroutines.
//
// goapp ADDRESS POSTGRES POOL
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	_ "github.com/lib/pq"
)

// Truth is what the application knows of itself, summed by the second in which it ended.
type Truth struct {
	sync.Mutex
	seconds map[int64]map[string]float64
}

func (truth *Truth) add(name string, value float64) {
	truth.Lock()
	defer truth.Unlock()
	t := time.Now().Unix()
	if truth.seconds[t] == nil {
		truth.seconds[t] = map[string]float64{"t": float64(t)}
	}
	truth.seconds[t][name] += value
}

func (truth *Truth) report() string {
	truth.Lock()
	defer truth.Unlock()
	list := []map[string]float64{}
	for _, second := range truth.seconds {
		list = append(list, second)
	}
	sort.Slice(list, func(i, j int) bool { return list[i]["t"] < list[j]["t"] })
	text, err := json.Marshal(list)
	must(err)
	return string(text)
}

// Level is how many there are of something, added up over time: divided by the seconds, the mean.
type Level struct {
	sync.Mutex
	name  string
	level float64
	since time.Time
}

func (level *Level) change(by float64) {
	level.Lock()
	defer level.Unlock()
	now := time.Now()
	if level.level > 0 {
		truth.add(level.name, level.level*now.Sub(level.since).Seconds())
	}
	level.level, level.since = level.level+by, now
}

var (
	truth   = Truth{seconds: map[int64]map[string]float64{}}
	waiting = Level{name: "waiting_s"}
	inside  = Level{name: "inside_s"}
	pool    *sql.DB
)

// everySecond adds the pool's own counts: checkouts that found no connection free, and their wait. It does so at the very
// end of the second, so that they belong to it.
func everySecond() {
	before := pool.Stats()
	for {
		time.Sleep(time.Second - (time.Duration(time.Now().Nanosecond())+5*time.Millisecond)%time.Second)
		waiting.change(0)
		inside.change(0)
		now := pool.Stats()
		truth.add("waited", float64(now.WaitCount-before.WaitCount))
		truth.add("wait_s", (now.WaitDuration - before.WaitDuration).Seconds())
		before = now
	}
}

func work(request context.Context) {
	waiting.change(1)
	connection, err := pool.Conn(request)
	waiting.change(-1)
	must(err)
	since := time.Now()
	truth.add("checkouts", 1)
	_, err = connection.ExecContext(context.Background(), "SELECT work()")
	must(err)
	truth.add("service_s", time.Since(since).Seconds())
	must(connection.Close())
}

func handle(reply http.ResponseWriter, request *http.Request) {
	began := time.Now()
	inside.change(1)
	// A caller that leaves keeps its place in the queue: as in app.py.
	work(context.Background())
	inside.change(-1)
	truth.add("requests", 1)
	truth.add("request_s", time.Since(began).Seconds())
	fmt.Fprintln(reply, "ok")
}

// open makes all connections of the pool, so that it does not grow later.
func open(postgres string, size int) *sql.DB {
	host, port, err := net.SplitHostPort(postgres)
	must(err)
	pool, err := sql.Open("postgres", fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable", host, port))
	must(err)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	all := make([]*sql.Conn, size)
	for i := range all {
		all[i], err = pool.Conn(context.Background())
		must(err)
	}
	for _, connection := range all {
		must(connection.Close())
	}
	return pool
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	size, err := strconv.Atoi(os.Args[3])
	must(err)
	pool = open(os.Args[2], size)
	go everySecond()
	listener, err := net.Listen("tcp", os.Args[1])
	must(err)
	go http.Serve(listener, http.HandlerFunc(handle))
	fmt.Println("ready 0")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() != "truth" {
			log.Fatalf("unknown command %q", lines.Text())
		}
		fmt.Println(truth.report())
	}
}

// Command toolbox is the one small static program inside the embedded cluster's own images.
//
//	toolbox pause           hold a pod's or a node's namespaces and reap what is left to it
//	toolbox resolve HOST    wait until HOST has an address (the init container of a PyTorchJob's workers)
//	toolbox serve ADDR TEXT answer every HTTP request with TEXT
//	toolbox fetch URL       print what URL answers, once it does
//	toolbox print FILE      print a file
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const retryInterval = 200 * time.Millisecond

func main() {
	arguments := append(os.Args[1:], "pause")
	var err error
	switch {
	case arguments[0] == "pause":
		pause()
	case arguments[0] == "resolve" && len(arguments) > 2:
		resolve(arguments[1])
	case arguments[0] == "serve" && len(arguments) > 3:
		err = serve(arguments[1], arguments[2])
	case arguments[0] == "fetch" && len(arguments) > 2:
		fetch(arguments[1])
	case arguments[0] == "print" && len(arguments) > 2:
		err = printFile(arguments[1])
	default:
		err = fmt.Errorf("usage: toolbox pause | resolve HOST | serve ADDRESS TEXT | fetch URL | print FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// pause is the first process of a PID namespace: orphans become its children, so it must reap.
func pause() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err != syscall.EINTR && pid <= 0 {
				break
			}
		}
	}
}

func resolve(host string) {
	for {
		addresses, err := net.LookupHost(host)
		if err == nil {
			fmt.Println(host, addresses)
			return
		}
		fmt.Println(err)
		time.Sleep(retryInterval)
	}
}

func serve(address, text string) error {
	return http.ListenAndServe(address, http.HandlerFunc(
		func(response http.ResponseWriter, _ *http.Request) { io.WriteString(response, text) }))
}

func fetch(url string) {
	client := http.Client{Timeout: 2 * time.Second}
	for {
		response, err := client.Get(url)
		if err == nil && response.StatusCode == http.StatusOK {
			io.Copy(os.Stdout, response.Body)
			return
		}
		if err == nil {
			err = fmt.Errorf("%s: %s", url, response.Status)
			response.Body.Close()
		}
		fmt.Fprintln(os.Stderr, err)
		time.Sleep(retryInterval)
	}
}

func printFile(path string) error {
	text, err := os.ReadFile(path)
	os.Stdout.Write(text)
	return err
}

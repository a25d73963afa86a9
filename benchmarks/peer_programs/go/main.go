// go-trafilatura as a program: pages on standard input, texts and CPU seconds on standard output, as python_peers.py.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"syscall"

	trafilatura "github.com/markusmobius/go-trafilatura"
)

// CPU seconds of the process, those of the garbage collector with them.
func spent() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

// Its defaults, with the fall-backs and without comments. A page at which it fails has no text.
func textOf(page []byte) (text string) {
	defer func() { recover() }()
	options := trafilatura.Options{EnableFallback: true, ExcludeComments: true}
	result, err := trafilatura.Extract(bytes.NewReader(page), options)
	if err != nil || result == nil {
		return ""
	}
	return result.ContentText
}

func main() {
	source, sink := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var length uint32
		if binary.Read(source, binary.LittleEndian, &length) != nil {
			return
		}
		page := make([]byte, length)
		if _, err := io.ReadFull(source, page); err != nil {
			return
		}
		start := spent()
		text := textOf(page)
		binary.Write(sink, binary.LittleEndian, spent()-start)
		binary.Write(sink, binary.LittleEndian, uint32(len(text)))
		sink.WriteString(text)
		sink.Flush()
	}
}

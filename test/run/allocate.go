// SPDX-License-Identifier: MIT

// allocate: Go's runtime, which maps with system calls of its own, beside libc's heap.
package main

// #include <stdlib.h>
import "C"

import (
	"fmt"
	"sync"
)

func work(turns int) (total int) {
	for i := 0; i < turns; i++ {
		block := C.malloc(200000)
		total += len(make([]byte, 100000))
		C.free(block)
	}
	return total
}

func main() {
	var group sync.WaitGroup
	var lock sync.Mutex
	total := 0

	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			part := work(50)
			lock.Lock()
			total += part
			lock.Unlock()
		}()
	}
	group.Wait()
	fmt.Println(total)
}

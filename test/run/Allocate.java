// SPDX-License-Identifier: MIT
/** A heap that grows, in two threads. */
public class Allocate {
    static void work() {
        java.util.List<int[]> kept = new java.util.ArrayList<>();
        for (int i = 0; i < 200; i++)
            kept.add(new int[10000]);
    }

    public static void main(String[] args) throws InterruptedException {
        Thread thread = new Thread(Allocate::work);
        thread.start();
        work();
        thread.join();
        System.out.println("done");
    }
}

import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;

/** Makes a node of ZooKeeper, or deletes it when no text is given: HOST:PORT PATH [TEXT]. */
public class ZkNode
{
  public static void main(String[] args) throws Exception
  {
    CountDownLatch connected = new CountDownLatch(1);
    try (ZooKeeper zk = new ZooKeeper(args[0], 30_000, event -> {
      if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
        connected.countDown();
      }
    })) {
      connected.await();
      if (args.length > 2) {
        zk.create(args[1], args[2].getBytes(StandardCharsets.UTF_8), ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
      } else {
        zk.delete(args[1], -1);
      }
    }
  }
}
